# SPDX-License-Identifier: Apache-2.0
"""A pause of AI development that can be checked. This is the map of the house.

    errors      whose fault it was             registry    names for things, spec ids for functions
      what touches a machine, once for all parties
    durable     what power cuts cannot take    net         the one HTTP door and client
      floor: pure; no I/O, no clock, no chance; time is an argument
    accounting  numbers in, numbers out        wire        exact bytes; one file, one published format
    agreement   who may say what               predicates  what can be said; one file, one type, one spec page
    history     reading a ledger is everybody's right (its `source` is the one place here that does I/O)
      parties: they never import one another, they meet in bytes
    lab         where a claim is born          log         where it is kept
    witness     who makes it single            verify      where it is judged
    mirror      who has it too                 intake      who says when it was handed in
      doors
    sim         a fake world, evasions, vectors            report      verdicts for people and machines
    preflight   a lab's draft under the verifier's rules   cli         one file per party

Imports point down: errors < registry, accounting < durable, net < wire < agreement < predicates < history < parties <
doors < cli.
Nobody imports this front door from inside; `decide(judge(replay(entries(source, agreement), agreement)))` is the path
of a verification through the rooms.
"""

__version__ = "0.1.0"
