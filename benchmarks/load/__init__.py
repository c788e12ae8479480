"""What starting and serving costs, with one rater and with many at once; and what faults and damaged files do.

atheris_loaders needs atheris, which is no part of the installation: `pip install atheris` into an environment of its
own, whose site-packages has a file app.pth that names this one's.
"""
