"""The target's side: an agent that supervises one session process at a time.

``agent`` is what a command starts; ``supervisor`` accepts clients and watches;
``handshake`` reads a client's first message; ``process`` starts, feeds and
ends a session process; ``session_process`` is that process; ``session`` answers
requests and measures; ``storage`` receives models; ``status`` is the memory
that lets the supervisor see what the session does.
"""
