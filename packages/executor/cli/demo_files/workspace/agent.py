"""Stands in for a coding agent: adds tax to the ledger of the directory it is started in.

By hand: executor run --verify "python -m unittest -q" -- python agent.py
"""

import subprocess
import sys
from pathlib import Path

TAX = '''

def with_tax(cents, percent):
    """The price with tax; half a cent is rounded up."""
    return cents + round(cents * percent / 100)
'''
TEST = """
    def test_half_a_cent_of_tax_is_rounded_up(self):
        self.assertEqual(ledger.with_tax(50, 19), 60)
        self.assertEqual(ledger.with_tax(250, 5), 263)
"""
NOTE = """\
--- a/README.md
+++ b/README.md
@@ -1,3 +1,4 @@
 # ledger
 
 Adds up invoices.
+Of tax, half a cent is rounded up.
"""


def note():
    """A change of its own, judged and verified like any other; it knows what it is part of."""
    executor = [sys.executable, "-m", "executor"]
    check = f"{Path(sys.executable).name} -m unittest --quiet"
    title = "Say in the README how tax is rounded"
    command = [*executor, "run", "--patch", "-", "--verify", check, "--title", title, "--json"]
    subprocess.run(command, input=NOTE, text=True, check=True, stdout=subprocess.DEVNULL)


def implement():
    ledger, tests = Path("ledger.py"), Path("test_ledger.py")
    ledger.write_text(ledger.read_text() + TAX)
    tests.write_text(tests.read_text().replace("\n\nif __name__", f"{TEST}\n\nif __name__"))


if __name__ == "__main__":
    print("first the README, through executor:", flush=True)
    note()
    print("now ledger.py and its test")
    implement()
