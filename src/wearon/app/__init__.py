"""What `wearon serve` and `arq` run: `wiring` builds every object from the settings, `serve` starts and stops in order.

Imports all packages; none of them imports it but the commands (`cli`, `worker`, `doctor`).
"""
