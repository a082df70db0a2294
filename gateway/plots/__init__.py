"""Results as pictures, drawn with the optional package matplotlib.

``style`` has what all pictures share; each other module draws one kind of result.
"""
