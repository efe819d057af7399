"""`toolyard demo`: the whole system for some seconds, and a walk through it.

`steps` is what is asked and what must come back, `asking` how it is asked, `telling` what is printed, `process` the
system from its start to its end. They use the SDK, as any program outside does. `stand_in_lambda`
takes the place of AWS Lambda, `function` is what it runs, and `stand_in_arcade` that of Arcade.
"""
