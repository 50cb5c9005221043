"""The target's side: an agent that supervises one session process at a time.

``agent`` is what a command starts. Of the supervisor, ``supervisor`` is the loop, ``reception``
accepts clients and keeps their line, ``handshake`` reads a client's first message, ``service`` is
one session from its start to its end, and ``process``, ``control``, ``output``, ``status``,
``descendants`` and ``scratch`` are its process, and what passes to and from it, what it
prints, does, starts and writes. ``logs`` keeps the log from holding anybody up.

``session_process`` is that process; ``session`` answers requests and measures; ``storage``
receives models.
"""
