"""The network's parts: anchors, box coding, backbones, the RPN head, proposal selection, and their assembly.

Shapes, in every file of this folder: N pictures in a batch, L feature levels, A anchors at each place (the paper's
k), H_l x W_l the map of level l, R_l = H_l * W_l * A anchors of a level and R their sum. Anchors are laid out place
by place, row by row, and within a place ratio by ratio, scale by scale (torchvision's and the paper's order).
"""
