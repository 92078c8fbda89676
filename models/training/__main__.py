"""`python -m models.training STAGE ...`: the training commands without the service, for torchrun."""

from models.training.cli import train_app

train_app(prog_name="python -m models.training")
