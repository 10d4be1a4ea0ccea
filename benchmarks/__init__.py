"""What peftrec's methods cost and buy: experiments/*.yaml in, results/*.json out, and from these docs/results."""
