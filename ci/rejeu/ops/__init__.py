"""What an operator asks of the hosts of production: what runs, what would change, run it again."""
