-- One run.
return run(KEYS, ARGV)
