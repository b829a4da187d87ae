from rejeu.cli import main

main()
