"""The administration API, `/api/v1`: one module for each kind of thing. A view translates, and decides nothing."""
