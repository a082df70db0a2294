"""The running exchange of one area: receive, handle, commit, answer.

``service`` is the loop, ``core`` the exchange with its messages; ``rate_limiter`` bounds senders,
``reception_watch`` notices when nothing arrives any more.
"""
