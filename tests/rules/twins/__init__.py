"""Hand-written NumPy references of the learning rules, one small file per family.

They share no code with the package. A *home* (`leaky_tanh`, `spiking`, `stacks`, `two_states`) is a
model with its Jacobians written out by hand; a *twin* is a rule on that home. Each twin is an
object whose ``step(now, draw)`` takes one step of the model and returns its traces by name, its
learning signal and the gradient of each weight; the ``run`` of the home drives it, with a learning
rate for online SGD after every step. Where a published rule leaves a choice open, the docstring of
the twin names what it takes.
"""
