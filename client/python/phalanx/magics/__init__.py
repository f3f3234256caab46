"""The IPython magics: `%px` and its kin.

* `activation`: having IPython know the magics of a view;
* `commands`: what they do. It imports IPython; nothing else of the client does.

Who may use it: views and clients, when the first magic is activated.
"""
