"""placeholder by the lead until REPLAY's own"""
import argparse, sys
from schemas.settings import Settings
from models import promotion
from models.replay.job import Job
from models.replay.source import Interval, moment
p = argparse.ArgumentParser(); p.add_argument("verb"); p.add_argument("--from", dest="a"); p.add_argument("--to"); p.add_argument("--train-until"); p.add_argument("--promote", action="store_true"); p.add_argument("--fast", action="store_true")
g = p.parse_args(); s = Settings.load()
j = Job(s, Interval.between(g.a, g.to), moment(g.train_until), fast=g.fast)
r, rep = j.run(j.build())
from rich.console import Console
for t in rep.tables(): Console(width=150).print(t)
if g.promote: promotion.promote(s, r); print("promoted", r.id)
