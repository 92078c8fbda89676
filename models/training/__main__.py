"""`python -m models.training STAGE ...`: the training commands alone, as torchrun wants them."""

from models.training.cli import train_app

train_app(prog_name="python -m models.training")
