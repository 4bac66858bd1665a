"""What carries a shopper's state from event to event, in torch: the one interface of all kinds of trunk."""

from __future__ import annotations

from torch import nn

from models.architecture import Architecture
from models.families.recurrent import GRU, LSTM, RNN
from models.families.tcn import TCN
from models.families.transformer import Transformer

MODULES = {"lstm": LSTM, "gru": GRU, "rnn": RNN, "tcn": TCN, "transformer": Transformer}


def trunk(architecture: Architecture, inputs: int) -> nn.Module:
    """A module of the architecture's kind for events of `inputs` floats.

    forward(block (T, B, inputs), state (B, S)) -> (T, B, architecture.hidden), state (B, S): T events each of B
    shoppers on top of their states, zeros for new ones. T = 1 is a step of the live path; a history in blocks gives
    what it gives in one. Parts of the state are as `trunks.state_parts` says, weights as `trunks.shapes`.
    """
    return MODULES[architecture.trunk](architecture, inputs)
