"""The store: every statement that durex sends to a database, on Postgres and on SQLite alike.

A module for each noun holds functions that take a `Connection`; none of them commits. `open_database` gives a
`Database`, whose transactions do. Only this package imports psycopg and sqlite3.
"""
