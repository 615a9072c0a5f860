"""Runs at the start of every Python program that finds this folder on its path: puts the fault in place."""

import os

from support.faults import install_from

install_from(os.environ)
