"""Load the weights of a catalogue row and run them on a device; nothing here uses a network.

``checkpoint``: a row as a value. ``repository``: which files a loader reads, and where they lie.
``safety``: safetensors, no code. ``device``: where models run. ``memory``: what fits.
``loading``: load once, keep, evict, place. ``inference``: fixed shapes and halving.
"""
