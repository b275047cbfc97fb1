"""From JSON to types: the forms of the arguments, read as strictly as geth and refused in its words."""
