"""What a person sees of a published dataset: statistics, and pages made of them."""
