"""Whether the repositories' reads use indexes: all of them, on large tables, with the plans that PostgreSQL makes."""
