"""The recipes that trained the zoo's weights."""
