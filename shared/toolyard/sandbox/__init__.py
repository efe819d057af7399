"""The sandbox: code that nobody has reason to trust, run so that it can do nothing but compute.

`language` is what the author of the code may say and use, `jail` are the locked processes that it runs in. Neither
knows the other: the jail runs a *guest*, a module that is named to it.
"""
