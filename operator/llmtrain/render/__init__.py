"""What a person reads of a job: functions of the object, its events and the moment. No input or output."""
