"""Durable work: one pending job per stage and key, the newest put wins, nothing is lost and nothing runs for ever.

``database``  the SQLite file: opening, migrations, transactions, foreign errors
``store``     put, claim, ack: the only writer of jobs
``seen``      what was seen where, recorded in the same transaction as the ack
``report``    read-only answers, also for another process
``retry``     which error leads to what; pure
``worker``    the pool that claims, handles and acks
"""
