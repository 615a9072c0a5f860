"""What every storage engine has to do, as tests. `StoreContract` in `store.py` is all of it."""
