"""Defects, each put into the code by a function: the search must find them. None of this is in the product."""
