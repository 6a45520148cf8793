"""What a run does before its first job and after its last."""


onstart:
    session.start()


onerror:
    session.fail(log)


onsuccess:
    session.finish()


session.join(globals())
