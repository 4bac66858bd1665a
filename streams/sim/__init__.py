"""`make sim`: a day of the made-up shop (models/shop) through the real system. Never real data.

shape.py     what happens on the site ─► behaviour events
voice.py     the site on Kafka: its events go out, interventions come in and are answered
__main__.py  broker, history, training, worker, the day, and what it brought: reported beside the truth
"""
