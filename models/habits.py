"""What a shopper's events usually are: running shares of event types, the latest events counting most.

That one puts things into the cart again and again and another never does is what tells their next events apart, and a
trunk that learnt from a few hundred shoppers keeps no count. Torch here, ONNX in engine_onnx.py.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from models.architecture import HABIT_PRIOR, HABIT_RATES, HABIT_SCALE, TYPES


def habits(types: Tensor, carried: Tensor) -> tuple[Tensor, Tensor]:
    """types int (T, B); carried (B, rates * (TYPES + 1)) -> shares (T, B, rates * TYPES), carried.

    Carried are, for each of HABIT_RATES, decaying sums of the types seen, then of all of them, so that shares are right
    from the first event on.
    shares: logarithms of the smoothed shares up to and with each event, scaled.
    """
    steps = len(types)
    ones = one_hot(types.long(), TYPES).to(carried.dtype)
    came = torch.cat([ones, ones.new_ones(*types.shape, 1)], 2)  # (T, B, TYPES + 1)
    age = torch.arange(steps, device=carried.device)[:, None] - torch.arange(steps, device=carried.device)
    shares, after = [], []
    for rate, before in zip(HABIT_RATES, torch.split(carried, TYPES + 1, 1), strict=True):
        kept = (1.0 - rate) ** age.clamp(min=0)
        sums = rate * torch.einsum("ts,sbk->tbk", kept * (age >= 0), came)
        sums = sums + ((1.0 - rate) * kept[:, :1])[..., None] * before
        smooth = HABIT_PRIOR * rate
        share = (sums[..., :-1] + smooth) / (sums[..., -1:] + smooth * TYPES)
        shares.append(share.log() / HABIT_SCALE)
        after.append(sums[-1])
    return torch.cat(shares, 2), torch.cat(after, 1)
