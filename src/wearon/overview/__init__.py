"""What operators and shop support look at: the fleet as it is now, and the story of one session.

`now` and `story` gather it from Redis and the platform; the console shows it in a browser and `wearon status` in a
terminal. Nothing here changes anything.
"""
