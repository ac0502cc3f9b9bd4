"""AWS: credentials and wakes. The only home of boto3, which is imported when first needed."""
