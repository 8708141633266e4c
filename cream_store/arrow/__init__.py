"""Arrow tables and record batches of what repositories hold.

`reading` makes them of a query's result, which `copy_out` brings from PostgreSQL and `fetch_out` from SQLite; `columns`
and `types` say what becomes of each column. Needs pyarrow, which the extra `arrow` brings.
"""
