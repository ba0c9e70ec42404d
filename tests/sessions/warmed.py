"""Imported by the server that processes to be killed are forked from: what they need was imported and used."""

from __future__ import annotations

import torch

import workbench as wb
from tests.sessions.networks import networks

torch.set_num_threads(1)
_panel = wb.subspaces.Panel(networks()[0])
assert _panel.jobs.wait(120)
_panel.close()
