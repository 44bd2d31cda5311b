"""How the pocket zoo was made: the world its pictures show, and the recipes of its training.

Nothing else in the workbench imports this folder. :mod:`~workbench.pocket.world` draws captioned
scenes and splits them, :mod:`~workbench.pocket.data` turns them into training batches, and
``python -m workbench.pocket.train NAME`` runs a recipe.
"""
