"""What a competent reader knows to do with the questions of the long-context families, one file per subject.

It shares no code with the generators, so that its answers are evidence for theirs.
"""
