"""Generated images with a truth that is exact, of what real sets lack.

A ``draw_*`` takes its settings and a ``numpy.random.Generator``, the source of all randomness: the
same state gives the same image. If its docstring says nothing else, it returns

``image`` : uint8 or uint16 array of shape (1, Y, X)
    As a camera and a file format would keep it.
``labels`` : IntArray of shape (Y, X)
    The truth: 0 where no object is, else ids 1..n, each one component.

An ``any_*`` draws settings as varied as what laboratories image. It takes the height and width
that are wanted, in pixels, the generator, and those settings that are not left to chance.
"""
