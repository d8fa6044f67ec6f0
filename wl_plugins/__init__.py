"""What is a choice: the built-in views, images, losses, exporters and the demo.

All of it is plugins on the public hooks of `wl_core.hookspecs`, as anybody's would be.
"""
