"""How a user gives a tool consent, by provider: who is asked, where, and whether it was given. It knows no executor."""
