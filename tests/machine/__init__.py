"""Random histories against the real daemon, each compared with a fresh index of the same files.

::

    python -m tests.machine --sequences 500        the soak, with a table at the end
    python -m tests.machine --replay FILE          one script again, step by step

``world`` does things to files, ``lab`` owns the daemon and judges, ``machine`` lets Hypothesis choose.
"""
