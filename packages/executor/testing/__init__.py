"""What a storage engine has to pass, and what tests of a store are built from.

Only tests import this. It needs pytest and hypothesis, which Executor itself does not.
"""
