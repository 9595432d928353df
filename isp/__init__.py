"""Subscription core: people, plans, contracts, terms, calendar, policy, database."""
