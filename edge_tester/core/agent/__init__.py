"""The target's side: an agent that supervises the session processes of one client at a time.

``agent`` is what a command starts. Of the supervisor, ``supervisor`` is the loop, ``reception``
accepts clients and keeps their line, ``handshake`` reads a client's first message, ``sessions``
has all sessions that there are and says who may have one, ``service`` is one from its start to
its end, and ``process``, ``control``, ``output``, ``status``, ``descendants`` and ``scratch`` are
its process, and what passes to and from it, what it prints, does, starts and writes. ``logs`` keeps
the log from holding anybody up.

``session_process`` is that process; ``isolation`` and what begins with it take its rights away,
``environment`` what it need not know, ``consumption`` sees what it takes. ``session`` answers
requests and measures; ``storage`` receives models, which ``storekeeper`` keeps on a ``shelf``, and
``turn`` lets one session at a time run one.
"""
