"""The data contract: what every program that shares the database relies on, and readers of what a database has."""
