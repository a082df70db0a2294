"""A tournament: what does a strategy earn over telling the truth, on the same days?"""
