"""The runs of several machines as one: what each left is joined, and what none left is told."""
