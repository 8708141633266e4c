from bench.command import main

main(prog_name="scripts/bench")
